"""Marketing matrices (营销矩阵): decision tables read, compiled, matched, and turned into one recommendation per customer."""
