"""`forebay pools render`: the objects of a model server on one's own GPUs first and on those of a cloud then."""
