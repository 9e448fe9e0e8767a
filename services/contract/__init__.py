"""What the services, their images and the runner share. Standard library only."""
