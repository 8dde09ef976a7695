"""The checks of single images: one file each."""
