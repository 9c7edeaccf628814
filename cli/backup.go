package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/backup"
	"github.com/fairwaycd/fairway/datadir"
)

func (c *cli) backupCommand() *cobra.Command {
	var without bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything into one file, while Fairway runs",
		Long: long("Writes the data directory of the running Fairway into a file: events and deliveries under way, configuration, images, evaluations. The event store stands for a moment; deliveries wait for it and go on. The file holds the token and all credentials, unencrypted, and is readable by you alone: keep it as you keep those, or leave them out with --without-secrets. Metrics, logs and what runs are not in it.",
			"regularly, before an upgrade, and before you move to another machine.",
			"the message says which part could not be read; FILE is left as it was."),
		Example: example("fairway backup fairway-2026-11-24.tgz", "fairway backup fairway.tgz --without-secrets"),
		Args:    words("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.backend()
			if err != nil {
				return err
			}
			f, err := os.CreateTemp(filepath.Dir(args[0]), ".fairway-backup-") // readable by its owner alone
			if err != nil {
				return fairway.Invalid("FILE", args[0], "cannot be written: "+err.Error(), "name a file in a directory that exists")
			}
			defer os.Remove(f.Name()) // in vain after the rename
			err = errors.Join(b.Backup(cmd.Context(), !without, f), f.Sync(), f.Close())
			if err == nil {
				err = os.Rename(f.Name(), args[0])
			}
			if err != nil {
				return err
			}
			c.remark("wrote %s", args[0])
			if !without {
				c.remark("  it holds the token and all credentials: keep it where nobody else can read it")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&without, "without-secrets", false, "leave out the token, and the credentials of upstreams, registries, monitoring and subscriptions")
	return cmd
}

func (c *cli) restoreCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory of a backup",
		Long: long("Makes a data directory of a backup, without a server. Everything is checked before anything is changed. `fairway up` with that directory then goes on where the backup was made: versions are started again, and deliveries under way go on.",
			"a machine or a disk is lost, or Fairway moves.",
			"the message says what is wrong with the file or the directory, and nothing was changed. A directory that is not empty is refused; with --force it is moved aside."),
		Example: example("fairway restore fairway-2026-11-24.tgz --data /srv/fairway", "fairway restore fairway.tgz --force"),
		Args:    words("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := cmd.Flags().GetString("data")
			if err == nil && dir == "" {
				dir, err = datadir.Default()
			}
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fairway.Invalid("FILE", args[0], "cannot be read: "+err.Error(), "name a file that fairway backup wrote")
			}
			defer f.Close()
			head, before, err := backup.Restore(f, dir, force)
			if err != nil {
				return err
			}
			c.remark("restored %s to what it was at %s, by Fairway %s", dir, head.CreatedAt.Format("2006-01-02 15:04:05 UTC"), head.Version)
			if before != "" {
				c.remark("  what was there lies in %s", before)
			}
			if !head.Secrets {
				c.remark("  the backup has no secrets: there will be a new token, and upstreams, registries, monitoring and subscriptions have to be configured again")
			}
			c.remark("  next: fairway up --data %s", dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "move aside what is in the directory")
	return cmd
}
