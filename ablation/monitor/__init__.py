"""What people and scripts see while units run, in the same shell or another one."""
