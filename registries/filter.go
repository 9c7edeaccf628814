package registries

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/fairwaycd/fairway"
)

// maxFilter bounds a filter's text, in bytes.
const maxFilter = 1000

// Filter chooses tags. Its zero value takes all.
type Filter struct {
	versions *semver.Constraints
	pattern  *regexp.Regexp
}

// FilterOf reads the registry's filter.
func FilterOf(r fairway.Registry) (Filter, error) {
	var f Filter
	var err error
	switch {
	case len(r.Filter) > maxFilter || len(r.FilterRegexp) > maxFilter:
		return f, fairway.Invalid("filter", "", "is longer than 1000 characters", "write a shorter one")
	case r.Filter != "":
		if f.versions, err = semver.NewConstraint(r.Filter); err != nil {
			return f, fairway.Invalid("filter", r.Filter, "is not a range of versions", "write one such as >=1.2.0 <2.0.0-0, ~1.2 or ^1.2; to take 0.6.0-1 too, write >=0.6.0-0")
		}
	case r.FilterRegexp != "":
		if f.pattern, err = regexp.Compile(`^(?:` + r.FilterRegexp + `)$`); err != nil {
			return f, fairway.Invalid("filterRegexp", r.FilterRegexp, "is not a regular expression", `write one for the whole tag, such as release-\d+`)
		}
	}
	return f, nil
}

// Takes reports whether the filter takes the tag. What is no version fits no
// range.
func (f Filter) Takes(tag string) bool {
	switch {
	case f.versions != nil:
		v, err := semver.NewVersion(tag)
		return err == nil && f.versions.Check(v)
	case f.pattern != nil:
		return f.pattern.MatchString(tag)
	}
	return true
}

// found is a tag with what it is ordered by.
type found struct {
	tag     string
	version *semver.Version
	created time.Time
}

// versioned reads all tags as versions; ok is false when one of them is none.
func versioned(tags []string) (all []found, ok bool) {
	for _, tag := range tags {
		v, err := semver.NewVersion(tag)
		if err != nil {
			return nil, false
		}
		all = append(all, found{tag: tag, version: v})
	}
	return all, true
}

// order sorts tags from the oldest to the newest: by version where all have
// one, else by when the images were built; what is equal by name.
func order(all []found) []string {
	slices.SortFunc(all, func(a, b found) int {
		if a.version != nil && b.version != nil {
			return cmp.Or(a.version.Compare(b.version), cmp.Compare(a.tag, b.tag))
		}
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.tag, b.tag))
	})
	out := make([]string, len(all))
	for i, f := range all {
		out[i] = f.tag
	}
	return out
}
