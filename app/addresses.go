package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// rememberAddress records the address of this start and returns those of
// earlier ones: images are named after the address that they were pushed to,
// and must be found when --listen has changed.
func (a *App) rememberAddress() ([]string, error) {
	file := a.dir.Path("addresses")
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the addresses of earlier starts: %w", err)
	}
	all := strings.Fields(string(b))
	if slices.Contains(all, a.Address()) {
		return all, nil
	}
	// An append of one short line; a torn one names no address that was ours
	// and does no harm.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record the address: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(a.Address() + "\n"); err != nil {
		return nil, fmt.Errorf("record the address: %w", err)
	}
	return all, f.Sync()
}
