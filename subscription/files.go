package subscription

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// keepDead is how many events that were laid aside are kept of a subscription.
const keepDead = 1000

// kept is a subscription's file, which its owner alone can read.
type kept struct {
	fairway.Subscription
	Secret fairway.Secret `json:"secret"`
	Former fairway.Secret `json:"former,omitempty"` // signs too until FormerUntil
	Until  time.Time      `json:"formerUntil,omitzero"`
}

// secrets are those that sign at that time.
func (k kept) secrets(now time.Time) []fairway.Secret {
	if k.Former != "" && now.Before(k.Until) {
		return []fairway.Secret{k.Secret, k.Former}
	}
	return []fairway.Secret{k.Secret}
}

// cursor is how far a subscription has come: for each shard the sequence of
// the last entry whose events were all taken, and how many of the next one's
// were.
type cursor struct {
	Shards []uint64       `json:"shards"`
	Within map[int]uint64 `json:"within,omitempty"`
	// Since leaves out older events, of those that are sent again.
	Since time.Time `json:"since,omitzero"`
}

// Dead is an event that was laid aside.
type Dead struct {
	Event  fairway.Event `json:"event"`
	Reason string        `json:"reason"` // of the last failure
	Tries  int           `json:"tries"`
	At     time.Time     `json:"at"`
	Again  bool          `json:"again,omitempty"` // it is to be sent once more
}

// files keeps what a subscription has in a directory of its own.
type files struct{ dir string }

func (f files) save(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(f.dir, filepath.Dir(name)), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(f.dir, name), b)
}

// load reads a file; ok is false where there is none.
func (f files) load(name string, v any) (ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The decoder's own error may hold a part of the text, and so a secret.
	if json.Unmarshal(b, v) != nil {
		return false, fairway.Errorf(fairway.KindInternal, "%s is damaged; move its directory away and make the subscription again", filepath.Join(f.dir, name))
	}
	return true, nil
}

// dead lists the names of the events that were laid aside, the oldest first.
func (f files) dead() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, "dead"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join("dead", e.Name()))
		}
	}
	return names, err
}

// layAside keeps the event, and lets go of the oldest ones above the bound. The
// same event again takes the place of the first.
func (f files) layAside(d Dead) (dropped int, err error) {
	name := fmt.Sprintf("dead/%s-%s.json", d.Event.Time.UTC().Format("20060102T150405.000000000"), shortHash(d.Event.ID))
	if err := f.save(name, d); err != nil {
		return 0, err
	}
	names, err := f.dead()
	if err != nil {
		return 0, err
	}
	for _, old := range names[:max(0, len(names)-keepDead)] {
		if err := f.remove(old); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}

// shortHash makes a part of a file's name of an id that may be anything.
func shortHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

func (f files) remove(name string) error {
	err := os.Remove(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
