"""`mdl bound`: networks of files, of bits and of other programs."""
