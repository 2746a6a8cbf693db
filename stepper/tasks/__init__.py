"""Work for networks that nobody waits for (mails, pushes): rows of django-tasks, and the threads that work them off."""
