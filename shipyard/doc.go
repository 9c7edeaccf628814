// Package shipyard reads and writes shipyard.yaml, a project's delivery plan.
//
// Reading is strict: every key and value that cannot be meant is a problem with
// file, line, column and remedy, and all of them are reported at once. Scalars
// keep the text that was written, so that a registry 1.0 or a stage 007 stay
// what they are. Shipyards of Keptn 0.5 and later are recognised and refused
// with the mapping of their keys.
//
// The keys, their values, defaults and meanings stand in one list, out of which
// come the checks, the JSON schema and the table of docs/reference/shipyard.md.
package shipyard
