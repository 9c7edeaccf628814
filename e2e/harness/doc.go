// Package harness is what the end-to-end tests need: a fairway that runs on the
// cluster, its command line, a client that counts what the gateway answers, and
// a proxy before the apiserver that can be made ill.
package harness
