package registry

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Repositories returns the names of all repositories with a manifest, sorted by
// their path's components.
func (r *Registry) Repositories(ctx context.Context) ([]string, error) {
	var names []string
	err := r.disk.walk(ctx, "", func(repo string, parts []string) error {
		if slices.Contains(parts, "_manifests") {
			names = append(names, repo)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the registry's repositories: %w", err)
	}
	return names, nil
}

// walk calls visit for every repository at and below name, also one in which
// no push ever came to its end, with the library's directories in it.
func (d *disk) walk(ctx context.Context, name string, visit func(repo string, parts []string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := list(d.repo(name))
	if err != nil {
		return err
	}
	var parts, below []string
	for _, e := range entries {
		if strings.HasPrefix(e, "_") {
			parts = append(parts, e)
		} else {
			below = append(below, e)
		}
	}
	if len(parts) > 0 {
		if err := visit(name, parts); err != nil {
			return err
		}
	}
	for _, b := range below {
		if err := d.walk(ctx, path.Join(name, b), visit); err != nil {
			return err
		}
	}
	return nil
}

// Tags returns every tag of every repository with the digest that it names
// now. Tags of attachments, for which OnPush is not called, are left out.
func (r *Registry) Tags(ctx context.Context) ([]Push, error) {
	repos, err := r.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	var all []Push
	for _, repo := range repos {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tags, err := r.disk.tags(repo)
		if err != nil {
			return nil, fmt.Errorf("list the tags of %s: %w", repo, err)
		}
		for _, t := range tags {
			if t.digest != "" && isTag(t.name) {
				info, err := os.Stat(t.link)
				if err != nil {
					return nil, fmt.Errorf("see when %s:%s was set: %w", repo, t.name, err)
				}
				all = append(all, Push{Repository: repo, Tag: t.name, Digest: t.digest, At: info.ModTime()})
			}
		}
	}
	return all, nil
}

// tag is a tag's directory. Its digest is empty when a crash came between the
// directory and its link.
type tag struct {
	name, digest, link string
}

func (d *disk) tags(repo string) ([]tag, error) {
	dir := d.repo(repo, "_manifests", "tags")
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	tags := make([]tag, 0, len(names))
	for _, n := range names {
		link := filepath.Join(dir, n, "current", "link")
		digest, err := readLink(link)
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag{name: n, digest: digest, link: link})
	}
	return tags, nil
}
