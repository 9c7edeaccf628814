package helm

import "github.com/fairwaycd/fairway"

// Colourised sorts the documents of a chart's one template as [Render] does.
func Colourised(text string, c fairway.Colour) (Rendered, error) {
	all, err := ownObjects(map[string]string{"web/chart/templates/a.yaml": text})
	if err != nil {
		return Rendered{}, err
	}
	if err := colourise(all, Release{Colour: c}); err != nil {
		return Rendered{}, err
	}
	return ownRendered(all, nil)
}
