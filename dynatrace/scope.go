package dynatrace

import (
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// DefaultColourTag is the tag by which Fairway's own templates tell the
// colours of a service apart: they label pods with deployment: carts-green.
const DefaultColourTag = "deployment:{{service}}-{{colour}}"

// scope says which entities a query is about. All that it names has to hold.
type scope struct {
	entities []string // v1
	tags     []string // v1
	selector string   // v2
}

// named reports whether a person has chosen entities.
func (s scope) named() bool {
	return len(s.entities) > 0 || len(s.tags) > 0 || strings.Contains(s.selector, "tag(") || strings.Contains(s.selector, "entityId(") || strings.Contains(s.selector, "entityName")
}

// with adds tags.
func (s scope) with(v1 bool, tags ...string) scope {
	if v1 {
		s.tags = slices.Clone(s.tags)
		for _, t := range tags {
			if !slices.Contains(s.tags, t) {
				s.tags = append(s.tags, t)
			}
		}
		return s
	}
	parts := []string{}
	if s.selector != "" {
		parts = append(parts, s.selector)
	}
	if !strings.Contains(s.selector, "type(") && !strings.Contains(s.selector, "entityId(") {
		parts = append(parts, "type(SERVICE)")
	}
	for _, t := range tags {
		if term := `tag("` + t + `")`; !strings.Contains(s.selector, term) {
			parts = append(parts, term)
		}
	}
	s.selector = strings.Join(parts, ",")
	return s
}

// has reports whether the scope names the tag already.
func (s scope) has(tag string) bool {
	return tag != "" && (slices.Contains(s.tags, tag) || strings.Contains(s.selector, "tag("+tag+")") || strings.Contains(s.selector, `tag("`+tag+`")`))
}

func (s scope) String() string {
	var parts []string
	if len(s.entities) > 0 {
		parts = append(parts, "the id "+strings.Join(s.entities, " or "))
	}
	if len(s.tags) > 0 {
		parts = append(parts, "the tags "+strings.Join(s.tags, ", "))
	}
	if s.selector != "" {
		parts = append(parts, "the selector "+s.selector)
	}
	if len(parts) == 0 {
		return "any name"
	}
	return strings.Join(parts, " and ")
}

// narrowing are the tags of the subject: its service in its environment, its
// colour, and the other one. In a direct stage there are no colours.
type narrowing struct {
	place         []string
	colour, other string
	// chosen says that the colours are told apart by a tag of the user's choice, beside which the
	// tags of place may not exist.
	chosen bool
}

func narrowingOf(p fairway.Place, template string) narrowing {
	n := narrowing{place: []string{"service:" + string(p.Service), "environment:" + string(p.Namespace)}}
	if p.Colour == fairway.Single {
		return n
	}
	n.chosen = template != ""
	if !n.chosen {
		template = DefaultColourTag
	}
	render := func(c fairway.Colour) string {
		return strings.NewReplacer("{{service}}", string(p.Service), "{{environment}}", string(p.Namespace), "{{colour}}", c.String()).Replace(template)
	}
	n.colour, n.other = render(p.Colour), render(p.Colour.Other())
	return n
}

// own narrows a scope to the subject's colour; rival to the other one, ok is
// false where there is none.
func (n narrowing) own(v1 bool, s scope) scope {
	if n.chosen && s.has(n.colour) {
		return s.with(v1)
	}
	return s.with(v1, n.tags(n.colour)...)
}

func (n narrowing) rival(v1 bool, s scope) (scope, bool) {
	if n.other == "" {
		return scope{}, false
	}
	return s.with(v1, n.tags(n.other)...), true
}

func (n narrowing) tags(colour string) []string {
	if colour == "" {
		return n.place
	}
	return append(slices.Clone(n.place), colour)
}

// checkColourTag refuses a template that cannot tell the colours apart.
func checkColourTag(template string) error {
	const remedy = "write a tag with {{colour}} in it, e.g. " + DefaultColourTag
	rest := strings.NewReplacer("{{service}}", "", "{{environment}}", "", "{{colour}}", "").Replace(template)
	switch {
	case template == "":
		return nil
	case !strings.Contains(template, "{{colour}}"):
		return fairway.Invalid("colourTag", template, "is the same for both colours", remedy)
	case strings.ContainsAny(rest, `{}"()~,\`+"\n"):
		return fairway.Invalid("colourTag", template, "is not a tag", remedy)
	}
	return nil
}
