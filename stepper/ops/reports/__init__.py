"""Reports: what the trips of some days came to, as charts, tables and files; statements of drivers; fares tried out."""
