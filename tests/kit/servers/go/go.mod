module server

go 1.19

require keyferryverify v0.0.0

replace keyferryverify => ../../../../examples/verify/go
