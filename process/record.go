package process

import (
	"crypto/rand"
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

// record is what is stored of an instance: what is wanted, and the process
// that was started for it last.
type record struct {
	Workload   fairway.Workload `json:"workload"`
	Manifests  []string         `json:"manifests"`
	RecordedAt time.Time        `json:"recordedAt"`
	Port       int              `json:"port,omitempty"`
	Restarts   int              `json:"restarts,omitempty"`
	// Stopping says that the instance is to end and never to start again.
	Stopping bool `json:"stopping,omitempty"`
	// HooksDone is how many of the hooks have succeeded.
	HooksDone int  `json:"hooksDone,omitempty"`
	Run       *run `json:"run,omitempty"`
}

// run is one start of a program. It is stored with a nonce before the process
// is started, and with its pid afterwards.
type run struct {
	Nonce     string    `json:"nonce"`
	PID       int       `json:"pid,omitempty"`
	Start     string    `json:"start,omitempty"` // the system's word for its start time
	StartedAt time.Time `json:"startedAt"`
	LogOffset int64     `json:"logOffset"` // where its output begins
	Program   program   `json:"program"`
}

// recordStore keeps one file per instance.
type recordStore struct{ dir string }

func (s recordStore) path(id string) string { return filepath.Join(s.dir, fileName(id)+".json") }

func (s recordStore) save(r record) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode record of instance %s: %w", r.Workload.Instance, err)
	}
	if err := durable.WriteFile(s.path(r.Workload.Instance), b); err != nil {
		return fmt.Errorf("store record of instance %s: %w", r.Workload.Instance, err)
	}
	return nil
}

func (s recordStore) remove(id string) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record of instance %s: %w", id, err)
	}
	return durable.Sync(s.dir)
}

// load reads all records. A file that cannot be read as one is put aside under
// the ending .damaged and named in damaged; temporary files are removed.
func (s recordStore) load() (rs []record, damaged []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the records of instances: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		switch filepath.Ext(path) {
		case ".tmp":
			if err := os.Remove(path); err != nil {
				return nil, nil, fmt.Errorf("remove half-written record: %w", err)
			}
		case ".json":
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, nil, fmt.Errorf("read record: %w", err)
			}
			var r record
			if json.Unmarshal(b, &r) == nil && r.Workload.Instance != "" && s.path(r.Workload.Instance) == path {
				rs = append(rs, r)
				continue
			}
			aside := path + ".damaged"
			if err := os.Rename(path, aside); err != nil {
				return nil, nil, fmt.Errorf("put damaged record aside: %w", err)
			}
			damaged = append(damaged, aside)
		}
	}
	return rs, damaged, nil
}

// identityOf returns the random name of the data directory, making it at the
// first call.
func identityOf(dir string) (string, error) {
	path := filepath.Join(dir, "identity")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return string(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the identity of the data directory: %w", err)
	}
	id := randomID()
	if err := durable.WriteFile(path, []byte(id)); err != nil {
		return "", fmt.Errorf("store the identity of the data directory: %w", err)
	}
	return id, nil
}

func randomID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// fileName turns an identifier into a file name, one to one: every byte that
// is not a letter, digit, hyphen, underscore or inner dot becomes %XX.
func fileName(id string) string {
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
