//go:build race

package main

// loadRate is the number of connections a second. The race detector makes each of them
// several times as slow.
const loadRate = 40
