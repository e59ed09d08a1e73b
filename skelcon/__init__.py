"""Skeleton-contrastive 3D action representation learning (Thoker, Doughty, Snoek, ACM MM 2021).

Data flows one way through the subpackages: data -> augment -> encoders -> contrast -> pretrain
-> downstream. Nothing in here knows of Ray, of studies or of tables; that is ``ablation``.
"""
