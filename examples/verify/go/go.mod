module keyferryverify

go 1.19
