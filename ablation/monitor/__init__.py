"""What people, other shells and scripts see while units run."""
