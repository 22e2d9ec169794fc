// Package stack plans and performs the changes that make the resources at
// Scaleway match an egress.yaml. A stack is all resources of one egress.yaml:
// Desired builds the resources that should exist, Diff compares them with the
// resources that exist and returns a Plan, and a Runner carries the plan out.
//
// There is no state file. Each run finds the stack's resources by their
// ownership tag. So a run can be interrupted at any point, and the next run
// continues from there. Only implementations of Cloud do I/O.
//
// # How to add a kind of resource
//
// A kind is a row in two tables: kinds in this package and rows in package
// scaleway. A new kind takes changes in four files:
//
//  1. stack/KIND.go, a new file: the constant, the row, and the type that
//     implements Resource.
//  2. stack/graph.go: the row's place in the table kinds, and the condition
//     under which the resource belongs to the Graph.
//  3. scaleway/KIND.go, a new file: the row with the calls of the API.
//  4. scaleway/products.go: the row's place in the table rows, and the client of
//     the product if no other kind uses it yet.
//
// The compiler or TestEveryKindHasARow (in both packages) reports a table that
// lacks the kind. The setting in egress.yaml (package config) and the fake API
// (package scwfake) are not part of this count.
package stack
