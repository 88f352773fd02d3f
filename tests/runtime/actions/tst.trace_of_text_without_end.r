  aB aB aB                           x
y
                               z                                
  aB aB aB                                                          1
