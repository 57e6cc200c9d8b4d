"""Where output leaves: the site folder, mail, hubs."""
