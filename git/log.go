package git

import (
	"context"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// DeliveryTrailer is the trailer that names the delivery a commit was made for.
const DeliveryTrailer = "Fairway-Delivery"

// CommitLine is a commit as a list shows it.
type CommitLine struct {
	Hash    string    `json:"hash"`
	Parents []string  `json:"parents,omitempty"`
	Author  string    `json:"author"`
	Email   string    `json:"email"`
	When    time.Time `json:"when"`
	Subject string    `json:"subject"` // first line of the message
	Message string    `json:"message"`
	// Delivery is the one that the commit was made for; empty when none was.
	Delivery fairway.DeliveryID `json:"delivery,omitempty"`
}

// Body returns the message without its subject and the trailers of Fairway.
func (c CommitLine) Body() string {
	_, body, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	if c.Delivery != "" || trailer(c.Message, stepTrailer) != "" { // the last paragraph holds trailers
		body = body[:max(strings.LastIndex(body, "\n\n"), 0)]
	}
	return strings.TrimSpace(body)
}

// Log returns the last n commits of a branch or a full hash, newest first.
func (s *Store) Log(ctx context.Context, project fairway.ProjectName, branch string, n int) ([]CommitLine, error) {
	lines, _, err := s.LogAfter(ctx, project, branch, "", n)
	return lines, err
}

// LogAfter returns n commits as [Store.Log] lists them, beginning behind the
// one with the full hash after, and whether there are more behind those.
// KindNotFound when after is not in the list.
func (s *Store) LogAfter(ctx context.Context, project fairway.ProjectName, branch, after string, n int) (lines []CommitLine, more bool, err error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, false, err
	}
	tip, err := r.resolve(branch)
	if err != nil {
		return nil, false, err
	}
	behind := after == ""
	err = walkCommits(r, []hash{tip}, func(h hash, c commit) (bool, error) {
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case !behind:
			behind = h.String() == after
			return true, nil
		case len(lines) >= n:
			more = true
			return false, nil
		}
		lines = append(lines, lineOf(h, c))
		return true, nil
	})
	if err == nil && !behind {
		err = fairway.Errorf(fairway.KindNotFound, "commit %s is not in the history of %s of project %s; begin again at its newest", after, branch, project)
	}
	return lines, more, err
}

func lineOf(h hash, c commit) CommitLine {
	l := CommitLine{Hash: h.String(), When: time.Unix(c.seconds(), 0).UTC(), Message: c.message, Delivery: fairway.DeliveryID(trailer(c.message, DeliveryTrailer))}
	l.Author, l.Email = splitSignature(c.author)
	l.Subject, _, _ = strings.Cut(c.message, "\n")
	for _, p := range c.parents {
		l.Parents = append(l.Parents, p.String())
	}
	return l
}
