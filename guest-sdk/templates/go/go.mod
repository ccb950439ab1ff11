module plugin

go 1.26
