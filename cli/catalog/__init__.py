"""Product files: read, checked and sent to a platform, and written from one."""
