"""Files of faces: what each tool writes, read into one kind of track."""
