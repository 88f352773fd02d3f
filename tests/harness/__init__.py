"""What several test modules share: cases kept as files, masks over what differs, compiled triggers."""
