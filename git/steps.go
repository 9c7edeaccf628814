package git

import "strings"

// stepTrailer is the trailer by which a repeated effect finds its commit.
const stepTrailer = "Fairway-Step"

// stepDepth is how many commits of a branch are searched for a key: a few
// times the effects that one project has in flight at a crash.
const stepDepth = 500

// steps are the keys of a branch's last commits.
type steps struct {
	tip  hash
	keys map[string]hash
}

func (s *steps) find(key string) (hash, bool) {
	h, ok := s.keys[key]
	return h, ok
}

// add follows the branch to its new tip. The keys of older commits than are
// searched for after a restart stay known until then.
func (s *steps) add(h hash, key string) {
	s.tip = h
	if key != "" {
		s.keys[key] = h
	}
}

// stepsOf returns the keys of the branch, which are read anew when somebody
// else moved its tip. The lock is held.
func (r *repo) stepsOf(src source, branch string, tip hash) (*steps, error) {
	if s := r.steps[branch]; s != nil && s.tip == tip && len(s.keys) < 4*stepDepth {
		return s, nil
	}
	s := &steps{tip: tip, keys: map[string]hash{}}
	left := stepDepth
	err := walkCommits(src, []hash{tip}, func(h hash, c commit) (bool, error) {
		if key := trailer(c.message, stepTrailer); key != "" {
			if _, ok := s.keys[key]; !ok {
				s.keys[key] = h
			}
		}
		left--
		return left > 0, nil
	})
	if err != nil {
		return nil, err
	}
	r.steps[branch] = s
	return s, nil
}

// trailer returns the value of a trailer in the last paragraph of a message.
func trailer(message, key string) string {
	message = strings.TrimRight(message, "\n")
	i := strings.LastIndex(message, "\n\n")
	if i < 0 {
		return ""
	}
	for line := range strings.SplitSeq(message[i+2:], "\n") {
		if k, v, ok := strings.Cut(line, ": "); ok && k == key {
			return v
		}
	}
	return ""
}
