// Command carts-db is a small key-value store over HTTP: the database that is
// delivered beside the sample service carts. Values live in memory and, if
// DATA_DIR is set, in a log to which every change is appended and synced
// before it is answered.
package main
