package registries

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Known is what is recorded of a repository's tags.
type Known struct {
	Image string `json:"image"`
	// Looked is set once all tags were recorded that were there. Before, a tag
	// that is not among them may be an old one.
	Looked bool `json:"looked,omitempty"`
	// Tags are all that were ever seen, with the digest under which they were
	// handed on last; it is empty for those that were not.
	Tags map[string]string `json:"tags"`
}

// file is named by a hash, since a repository's name may be longer than a
// file's, and has slashes.
func (s *Store) file(r fairway.Registry, image string) string {
	sum := sha256.Sum256([]byte(fairway.CanonicalImage(image)))
	return filepath.Join(s.known(r), hex.EncodeToString(sum[:16])+".json")
}

func (s *Store) known(r fairway.Registry) string {
	return filepath.Join(s.dir, "known", string(r.Project), r.Name)
}

// Known returns what is recorded of the repository.
func (s *Store) Known(r fairway.Registry, image string) (Known, error) {
	k := Known{Image: fairway.CanonicalImage(image), Tags: map[string]string{}}
	file := s.file(r, image)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the known tags of %s: %w", image, err)
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, fairway.Errorf(fairway.KindInternal, "%s is damaged; remove it, and the tags that are there now count as known: %w", file, err)
	}
	if k.Tags == nil {
		k.Tags = map[string]string{}
	}
	return k, nil
}

// Mark records tags of the repository with their digests, durably. With looked
// they are all that are there. A tag without a digest keeps the one it had.
func (s *Store) Mark(r fairway.Registry, image string, tags map[string]string, looked bool) error {
	s.seen.Lock()
	defer s.seen.Unlock()
	k, err := s.Known(r, image)
	if err != nil {
		return err
	}
	was := maps.Clone(k.Tags)
	for tag, digest := range tags {
		if digest != "" || k.Tags[tag] == "" {
			k.Tags[tag] = digest
		}
	}
	if (k.Looked || !looked) && maps.Equal(was, k.Tags) {
		return nil
	}
	k.Looked = k.Looked || looked
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("record the known tags of %s: %w", image, err)
	}
	if err := os.MkdirAll(s.known(r), 0o700); err != nil {
		return fmt.Errorf("record the known tags of %s: %w", image, err)
	}
	if err := durable.WriteFile(s.file(r, image), text); err != nil {
		return fmt.Errorf("record the known tags of %s: %w", image, err)
	}
	return nil
}

// forget removes what is known of the registry's tags.
func (s *Store) forget(r fairway.Registry) error {
	s.seen.Lock()
	defer s.seen.Unlock()
	if err := os.RemoveAll(s.known(r)); err != nil {
		return fmt.Errorf("forget the known tags of registry %s: %w", r.Name, err)
	}
	return nil
}
