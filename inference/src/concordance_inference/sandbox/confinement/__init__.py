"""Takes every right from the current process, by the kernel's own means and without root."""
