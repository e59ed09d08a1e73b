"""The ablation engine: study -> plan -> Ray Tune trials -> store -> tables -> export."""
