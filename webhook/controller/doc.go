// Package controller is what talks to the API server: the handler of pods'
// admission, and the controllers of namespaces and tenants.
package controller
