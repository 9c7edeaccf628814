package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
)

func (c *cli) getSystem() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "system",
		Short: "Show how each part of the server does, what waits, and what takes room",
		Long: long("Shows the health of each part, how many inputs, tests and other steps wait, how much room is left, and what the data directory's parts take.",
			"deliveries take longer than they should, or the disk fills.",
			"`fairway get status` says whether the server answers at all."),
		Example: example("fairway get system", "fairway get system -o json"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) (api.System, error) {
		return b.System(cmd.Context())
	}
	return retrieve(c, cmd, ask, c.writeSystem)
}

func (c *cli) writeSystem(w io.Writer, s api.System) {
	parts := c.table("PART", "STATE", "SAYS")
	for _, p := range s.Parts {
		parts.add(p.Name, c.paint(p.State, p.State), oneLine(p.Text))
	}
	parts.write(w, "no part is known")
	fmt.Fprintln(w)
	var f fields
	f.add("Inputs waiting", fmt.Sprintf("%d (%s of %s)", s.Inputs.Messages, mebibytes(int64(s.Inputs.Bytes)), mebibytes(s.Inputs.Limit)))
	f.add("Tests", slots(s.Tests))
	f.add("Other steps", slots(s.Steps))
	f.add("Projects", fmt.Sprintf("%d, with %d services", s.Projects, s.Services))
	f.add("Memory", mebibytes(s.Memory))
	f.add("Disk", fmt.Sprintf("%s free of %s; images and pushes are refused below %s, everything new below %s",
		mebibytes(s.Disk.Free), mebibytes(s.Disk.Total), mebibytes(s.Disk.Reserve), mebibytes(s.Disk.Least)))
	f.add("Kept", fmt.Sprintf("%d deliveries for %d days, %d images of each service", s.Kept.Deliveries, s.Kept.Seconds/(24*60*60), s.Kept.Images))
	f.write(w)
	fmt.Fprintln(w)
	stores := c.table("HOLDS", "SIZE", "FILES")
	for _, x := range s.Storage {
		stores.add(x.Name, mebibytes(x.Bytes), fmt.Sprint(x.Files))
	}
	stores.write(w, "nothing is stored")
}

// slots says how busy steps of a kind are.
func slots(s api.Slots) string {
	return fmt.Sprintf("%d of %d at work, %d wait for their turn", s.Busy, s.Slots, s.Waiting)
}

// mebibytes writes a size.
func mebibytes(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<20)), ".0") + " MiB"
}
