package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed version
var versionFile string

//go:embed src/main/resources/application.properties
var properties string

// propertiesFile is the place of the properties in the repository, for texts.
const propertiesFile = "src/main/resources/application.properties"

// release is the number that images are tagged with, e.g. 0.6.0.
func release() string { return strings.TrimSpace(versionFile) }

// config is what application.properties says.
type config struct {
	version    string        // shown by /version
	delay      time.Duration // slept in each call that adds an item
	promotion  int           // percentage of add-item calls that fail
	prometheus bool          // whether metrics are served
}

// maxDelay bounds the delay, in milliseconds.
const maxDelay = 60_000

// parseConfig reads KEY=VALUE lines. Lines that start with # or ! are
// comments. Unknown keys are errors, since a misspelt delay would go
// unnoticed.
func parseConfig(text string) (config, error) {
	c := config{version: "v1", prometheus: true}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return c, fmt.Errorf("%s:%d: %q has no =; write KEY=VALUE", propertiesFile, i+1, line)
		}
		if err := c.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return c, fmt.Errorf("%s:%d: %w", propertiesFile, i+1, err)
		}
	}
	return c, nil
}

func (c *config) set(key, value string) error {
	var err error
	switch key {
	case "version":
		c.version = value
	case "delayInMillis":
		var ms int
		ms, err = bounded(value, maxDelay)
		c.delay = time.Duration(ms) * time.Millisecond
	case "promotionRate":
		c.promotion, err = bounded(value, 100)
	case "endpoints.prometheus.enabled":
		if c.prometheus, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("%q is neither true nor false", value)
		}
	default:
		return fmt.Errorf("%s is not a property; use version, delayInMillis, promotionRate or endpoints.prometheus.enabled", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// bounded reads a number in 0..most.
func bounded(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q is not a whole number in 0..%d", s, most)
	}
	return n, nil
}
