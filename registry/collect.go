package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	collectPatience = 10 * time.Second // how long Collect waits for pushes under way
	collectPause    = 30 * time.Second // how long pushes wait for Collect at most
)

// Report says what [Registry.Collect] removed.
type Report struct {
	Tags      int           `json:"tags"`
	Manifests int           `json:"manifests"`
	Blobs     int           `json:"blobs"`
	Bytes     int64         `json:"bytes"`
	Kept      int           `json:"kept"` // blobs that are left
	Took      time.Duration `json:"took"` // nanoseconds that pushes had to wait
}

// Collect removes the tags that keep says no to, the manifests that no tag
// leads to any more, and the blobs that no manifest names. About a manifest
// without a tag keep is asked with an empty one: a version may run whose tag
// has moved on. Whatever was pushed
// or asked for within Options.Grace stays, so that a push whose last request is
// yet to come finds what it laid down, and a tag whose event is still on its
// way is not lost. Attachments stay as long as the image that they belong to;
// keep is not asked about them.
//
// Pushes wait meanwhile, for 30 s at most: then Collect ends with an error of
// [fairway.KindUnavailable], having removed a part, as it does after 10 s
// without having removed anything when the pushes under way do not end. The
// next call goes on. A manifest that cannot be read is an error, and nothing
// is removed.
func (r *Registry) Collect(ctx context.Context, keep func(repo, tag, digest string) bool) (Report, error) {
	wait, cancel := context.WithTimeout(ctx, collectPatience)
	defer cancel()
	if err := r.gate.Acquire(wait, gateSize); err != nil {
		return Report{}, fairway.Errorf(fairway.KindUnavailable, "clean up the registry: pushes are under way; try again later: %w", err)
	}
	defer r.gate.Release(gateSize)
	start := time.Now()
	ctx, cancel = context.WithTimeout(ctx, collectPause)
	defer cancel()

	c := collection{disk: r.disk, since: start.Add(-r.o.Grace), keep: keep, marked: map[string]struct{}{}}
	err := c.run(ctx)
	c.report.Took = time.Since(start)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fairway.Errorf(fairway.KindUnavailable, "clean up the registry: not finished within %v, the next run goes on: %w", collectPause, err)
	} else if err != nil {
		err = fmt.Errorf("clean up the registry: %w", err)
	}
	return c.report, err
}

// collection is one run of Collect.
type collection struct {
	disk   *disk
	since  time.Time // what is younger stays
	keep   func(repo, tag, digest string) bool
	marked map[string]struct{} // blobs that something names
	report Report
	sweeps []func() error
}

// run marks everything before it removes anything. Links go before blobs, so
// that a crash leaves blobs without links and never links without blobs.
func (c *collection) run(ctx context.Context) error {
	err := c.disk.walk(ctx, "", func(repo string, _ []string) error { return c.markRepo(ctx, repo) })
	if err != nil {
		return err
	}
	for _, sweep := range c.sweeps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sweep(); err != nil {
			return err
		}
	}
	return c.sweepBlobs(ctx)
}

// markRepo marks what the repository's tags and its young manifests lead to,
// and notes what has to go.
func (c *collection) markRepo(ctx context.Context, repo string) error {
	tags, err := c.disk.tags(repo)
	if err != nil {
		return err
	}
	revisions, err := c.links(repo, "_manifests", "revisions")
	if err != nil {
		return err
	}
	m := marker{collection: c, ctx: ctx, repo: repo, seen: map[string]struct{}{}}
	var attachments []tag
	for _, t := range tags {
		switch {
		case referrersTag.MatchString(t.name):
			attachments = append(attachments, t)
		case youngerThan(t.link, c.since), t.digest != "" && c.keep(repo, t.name, t.digest):
			if err := m.mark(t.digest); err != nil {
				return err
			}
		default:
			c.dropTag(repo, t)
		}
	}
	for _, rev := range revisions {
		if youngerThan(rev.file, c.since) || youngerThan(c.disk.blob(rev.digest), c.since) || c.keep(repo, "", rev.digest) {
			if err := m.mark(rev.digest); err != nil {
				return err
			}
		}
	}
	if err := m.markAttached(revisions, attachments); err != nil {
		return err
	}
	return c.dropLinks(repo, revisions, m.seen)
}

// dropTag notes that a tag goes.
func (c *collection) dropTag(repo string, t tag) {
	c.sweeps = append(c.sweeps, func() error {
		c.report.Tags++
		return c.disk.remove(c.disk.repo(repo, "_manifests", "tags", t.name))
	})
}

// dropLinks notes which of a repository's revision and layer links go. What
// a tag pointed to earlier stays in that tag's index, which the library reads
// only for deletions.
func (c *collection) dropLinks(repo string, revisions []link, seen map[string]struct{}) error {
	layers, err := c.links(repo, "_layers")
	if err != nil {
		return err
	}
	for _, l := range revisions {
		if _, ok := seen[l.digest]; !ok {
			c.sweeps = append(c.sweeps, func() error {
				c.report.Manifests++
				return c.disk.remove(filepath.Dir(l.file))
			})
		}
	}
	for _, l := range layers {
		if _, ok := seen[l.digest]; ok {
			continue
		}
		if youngerThan(l.file, c.since) || youngerThan(c.disk.blob(l.digest), c.since) {
			c.marked[l.digest] = struct{}{}
			continue
		}
		c.sweeps = append(c.sweeps, func() error { return c.disk.remove(filepath.Dir(l.file)) })
	}
	return nil
}

// sweepBlobs removes what nothing names. Every young blob has a link, which has
// marked it: the library makes both in one request.
func (c *collection) sweepBlobs(ctx context.Context) error {
	algorithms, err := list(c.disk.v2("blobs"))
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		prefixes, err := list(c.disk.v2("blobs", a))
		if err != nil {
			return err
		}
		for _, p := range prefixes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.sweepPrefix(a, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collection) sweepPrefix(algorithm, prefix string) error {
	names, err := list(c.disk.v2("blobs", algorithm, prefix))
	if err != nil {
		return err
	}
	for _, hex := range names {
		dir := c.disk.v2("blobs", algorithm, prefix, hex)
		fi, err := os.Stat(filepath.Join(dir, "data"))
		if errors.Is(err, fs.ErrNotExist) {
			// Left by a crash; a push under way is not in here.
			if err := c.disk.remove(dir); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		if _, ok := c.marked[algorithm+":"+hex]; ok {
			c.report.Kept++
			continue
		}
		if err := c.disk.remove(dir); err != nil {
			return err
		}
		c.report.Blobs++
		c.report.Bytes += fi.Size()
	}
	return nil
}

// link is a file that makes a blob part of a repository.
type link struct{ digest, file string }

func (c *collection) links(repo string, elem ...string) ([]link, error) {
	dir := c.disk.repo(repo, elem...)
	algorithms, err := list(dir)
	if err != nil {
		return nil, err
	}
	var links []link
	for _, a := range algorithms {
		names, err := list(filepath.Join(dir, a))
		if err != nil {
			return nil, err
		}
		for _, hex := range names {
			links = append(links, link{digest: a + ":" + hex, file: filepath.Join(dir, a, hex, "link")})
		}
	}
	return links, nil
}

// marker marks what the manifests of one repository name.
type marker struct {
	*collection
	ctx  context.Context
	repo string
	seen map[string]struct{}
}

// manifest is what an image manifest, an index and an artifact manifest say
// about other blobs.
type manifest struct {
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
	Blobs     []descriptor `json:"blobs"`
	Subject   *descriptor  `json:"subject"`
}

type descriptor struct {
	Digest string `json:"digest"`
}

// mark marks a manifest and everything below it.
func (m *marker) mark(digest string) error {
	if _, ok := m.seen[digest]; ok || digest == "" {
		return nil
	}
	if err := m.ctx.Err(); err != nil {
		return err
	}
	m.note(digest)
	man, err := m.read(digest)
	if err != nil {
		return err
	}
	if man.Config != nil {
		m.note(man.Config.Digest)
	}
	for _, l := range append(man.Layers, man.Blobs...) {
		m.note(l.Digest)
	}
	for _, child := range man.Manifests {
		if err := m.mark(child.Digest); err != nil {
			return err
		}
	}
	return nil
}

func (m *marker) note(digest string) {
	m.seen[digest] = struct{}{}
	m.marked[digest] = struct{}{}
}

// markAttached marks what belongs to a marked image: manifests that name it as
// their subject, and those under a tag made of its digest. An attachment may
// have attachments itself.
func (m *marker) markAttached(revisions []link, attachments []tag) error {
	for again := true; again; {
		again = false
		for _, t := range attachments {
			p := referrersTag.FindStringSubmatch(t.name)
			if _, ok := m.seen[t.digest]; ok || t.digest == "" || !m.belongs(p[1]+":"+p[2], t.link) {
				continue
			}
			again = true
			if err := m.mark(t.digest); err != nil {
				return err
			}
		}
		for _, rev := range revisions {
			if _, ok := m.seen[rev.digest]; ok {
				continue
			}
			man, err := m.read(rev.digest)
			if err != nil {
				return err
			}
			if man.Subject == nil || !m.belongs(man.Subject.Digest, "") {
				continue
			}
			again = true
			if err := m.mark(rev.digest); err != nil {
				return err
			}
		}
	}
	for _, t := range attachments {
		if _, ok := m.seen[t.digest]; !ok {
			m.dropTag(m.repo, t)
		}
	}
	return nil
}

// belongs reports whether an attachment of subject stays.
func (m *marker) belongs(subject, file string) bool {
	_, ok := m.seen[subject]
	return ok || (file != "" && youngerThan(file, m.since))
}

// read parses a manifest. One whose blob is not there names nothing.
func (m *marker) read(digest string) (manifest, error) {
	var man manifest
	path := m.disk.blob(digest)
	if path == "" {
		return man, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return man, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &man)
	}
	if err != nil {
		return man, fairway.Errorf(fairway.KindRefused, "the manifest %s of %s cannot be read, so what it needs is not known; push that image again or remove its tag: %w", digest, m.repo, err)
	}
	return man, nil
}
