//go:build !race

package main

// loadRate is the number of connections a second.
const loadRate = 200
