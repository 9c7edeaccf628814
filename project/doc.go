// Package project keeps projects and services in git.
//
// A project is a repository: main holds shipyard.yaml, and each stage has a
// branch that holds its chart and, per service, objectives and tests. There is
// no second record of what exists, so that what people see with git is what
// Fairway works from.
//
//	main        shipyard.yaml  services/carts/…  (what was last given to update it)
//	dev         helm-chart/…  carts/perfspec/perfspec.json  carts/tests/…
//	staging     helm-chart/…  …
//
// Everything is validated and rendered before anything is committed.
package project
