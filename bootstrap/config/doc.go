// Package config defines egress.yaml: its types, defaults, bounds and decoding.
// Values are parsed once, when the file is loaded.
package config
