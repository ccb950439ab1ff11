// My plugin: resolver.go says who is which database user, target.go what a
// target means.
package main

func main() {}
