"""What is read off runs: agreement with backpropagation, and checks of whole models."""
