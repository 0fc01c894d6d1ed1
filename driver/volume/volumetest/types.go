package volumetest

import (
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func testRetyper(t drivertest.T, e *env) {
	content := block(3)
	e.withContent(t, "v", 1, content)
	spec := volume.Spec{SizeGiB: 1, Name: "renamed", ExtraSpecs: map[string]string{"volume_backend_name": "any"}}
	require.NoError(t, e.Retype(t.Context(), "v", spec))
	require.NoError(t, e.Retype(t.Context(), "v", spec), "again")
	if e.Can(volume.AbilityLimiter) {
		require.NoError(t, e.Create(t.Context(), "limited", volume.Spec{SizeGiB: 1, Limits: &driver.Limits{TotalIOPS: 50}}))
		carried := e.connect(t, "limited", "a").Limits != nil // else the pool enforces them itself
		e.disconnect(t, "limited", "a")
		spec.Limits = &driver.Limits{TotalIOPS: 100}
		require.NoError(t, e.Retype(t.Context(), "v", spec))
		if c := e.connect(t, "v", "a"); carried {
			require.Equal(t, spec.Limits, c.Limits)
		}
		e.disconnect(t, "v", "a")
	}
	larger := spec
	larger.SizeGiB = 2
	require.ErrorIs(t, e.Retype(t.Context(), "v", larger), nephos.ErrInvalid, "the size is the volume's own")
	e.requireVolume(t, "v", 1)
	if e.Can(volume.AbilityEncrypter) {
		secret := spec
		secret.Encryption = &driver.Encryption{Format: e.EncryptionFormats()[0]}
		secret.Secrets = map[string]string{"passphrase": "correct horse battery staple"}
		require.NoError(t, e.Create(t.Context(), "secret", secret))
		carried := e.connect(t, "secret", "a").Encryption != nil // else the pool decrypts
		e.disconnect(t, "secret", "a")
		if err := e.Retype(t.Context(), "v", secret); err != nil {
			require.ErrorIs(t, err, errors.ErrUnsupported, "what takes its bytes anew")
			require.NotContains(t, err.Error(), secret.Secrets["passphrase"])
			require.Nil(t, e.connect(t, "v", "a").Encryption, "nothing was changed")
		} else if carried {
			require.NotNil(t, e.connect(t, "v", "a").Encryption)
		}
		e.disconnect(t, "v", "a")
	}
	e.requireContent(t, "v", 1, content)
	require.ErrorIs(t, e.Retype(t.Context(), "none", spec), nephos.ErrNotFound)
	require.ErrorIs(t, e.Retype(t.Context(), "v", volume.Spec{}), nephos.ErrInvalid)
	e.reopen(t)
	e.requireContent(t, "v", 1, content)
}

func testMultiAttacher(t drivertest.T, e *env) {
	hosts := e.MultiAttach()
	require.NotZero(t, hosts)
	e.create(t, "v", 1)
	connect := func(attachment, host string) error {
		_, err := e.Connect(t.Context(), "v", volume.Connector{AttachmentID: attachment, Host: host})
		return err
	}
	require.NoError(t, connect("a1", "host1"))
	require.NoError(t, connect("a2", "host1"), "a second guest of the host")
	if hosts < 0 || hosts > 1 {
		require.NoError(t, connect("a3", "host2"), "another host")
	} else {
		require.ErrorIs(t, connect("a3", "host2"), nephos.ErrConflict)
	}
	e.reopen(t)
	for _, a := range []string{"a1", "a2", "a3"} {
		require.ErrorIs(t, e.Delete(t.Context(), "v"), nephos.ErrConflict, "%s is left", a)
		e.disconnect(t, "v", a)
		if a == "a2" && hosts == 1 {
			break
		}
	}
	require.NoError(t, e.Delete(t.Context(), "v"))
}

func testLimiter(t drivertest.T, e *env) {
	want := driver.Limits{ReadIOPS: 100, WriteIOPS: 200, TotalBytesSec: 1 << 20}
	given := want
	require.NoError(t, e.Create(t.Context(), "v", volume.Spec{SizeGiB: 1, Limits: &given}))
	given = driver.Limits{TotalIOPS: 1} // an argument is copied, not kept
	carried := func() *driver.Limits {
		c := e.connect(t, "v", "a")
		e.disconnect(t, "v", "a")
		return c.Limits
	}
	carries := carried() != nil // else the pool enforces them itself
	check := func(want *driver.Limits) {
		t.Helper()
		if carries {
			require.Equal(t, want, carried())
		}
	}
	check(&want)
	e.reopen(t)
	check(&want)
	other := driver.Limits{TotalIOPS: 50, TotalIOPSMax: 500}
	for range 2 {
		require.NoError(t, e.SetLimits(t.Context(), "v", other))
		check(&other)
	}
	e.reopen(t)
	check(&other)
	require.NoError(t, e.SetLimits(t.Context(), "v", driver.Limits{}))
	check(nil)
	d := e.Driver().(volume.Limiter)
	require.ErrorIs(t, d.SetLimits(t.Context(), "v", driver.Limits{ReadIOPS: -1}), nephos.ErrInvalid)
	require.ErrorIs(t, d.SetLimits(t.Context(), "none", other), nephos.ErrNotFound)
}

func testEncrypter(t drivertest.T, e *env) {
	formats := e.EncryptionFormats()
	require.NotEmpty(t, formats)
	spec := volume.Spec{SizeGiB: 1, Encryption: &driver.Encryption{Format: formats[0]}}
	require.ErrorIs(t, e.Driver().Create(t.Context(), "v", spec), nephos.ErrInvalid, "no passphrase")
	e.requireNone(t, "v")
	spec.Secrets = map[string]string{"passphrase": "correct horse battery staple"}
	require.NoError(t, e.Create(t.Context(), "v", spec))
	require.NoError(t, e.Create(t.Context(), "v", spec), "again")
	passphrase := spec.Secrets["passphrase"]
	spec.SizeGiB = 2
	err := e.Create(t.Context(), "v", spec)
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.NotContains(t, err.Error(), passphrase, "an error holds no secret")
	spec.Secrets["passphrase"], spec.Encryption.Format = "another", "moon" // arguments are copied, not kept
	var before driver.Connection
	for i := range 2 {
		c := e.connect(t, "v", "a")
		if c.Encryption != nil { // else the pool decrypts
			require.Equal(t, formats[0], c.Encryption.Format)
			require.Equal(t, passphrase, c.Secrets["passphrase"])
		}
		if i == 0 {
			before = c
		}
		require.Equal(t, before, c, "after the driver was opened again")
		e.disconnect(t, "v", "a")
		e.reopen(t)
	}
	e.requireVolume(t, "v", 1)
}

func testAttacher(t drivertest.T, e *env) {
	e.create(t, "v", 1)
	c := e.connect(t, "v", "a1")
	local, err := e.Attach(t.Context(), "a1", c)
	require.NoError(t, err)
	require.NotEmpty(t, local.Type)
	again, err := e.Attach(t.Context(), "a1", c)
	require.NoError(t, err)
	require.Equal(t, local, again)
	attached := func() []string {
		ids, err := e.Attached(t.Context())
		require.NoError(t, err)
		return ids
	}
	require.Contains(t, attached(), "a1")
	e.reopen(t)
	require.Contains(t, attached(), "a1", "the host remembers")
	again, err = e.Attach(t.Context(), "a1", c)
	require.NoError(t, err)
	require.Equal(t, local, again)
	for range 2 {
		require.NoError(t, e.Detach(t.Context(), "a1"))
		require.NotContains(t, attached(), "a1")
	}
	require.NoError(t, e.Detach(t.Context(), "never"))
	require.ErrorIs(t, e.Driver().(volume.Attacher).Detach(t.Context(), "../x"), nephos.ErrInvalid)
	e.disconnect(t, "v", "a1")
	require.NoError(t, e.Delete(t.Context(), "v"))
}

func testAdopter(t drivertest.T, e *env) {
	content := block(7)
	e.withContent(t, "v", 1, content)
	find := func(reference string) (found volume.Adoptable) {
		all, err := e.ListAdoptable(t.Context())
		require.NoError(t, err)
		for _, a := range all {
			if a.Reference == reference {
				require.Empty(t, found.Reference, "%s is there twice", reference)
				found = a
			}
		}
		return found
	}
	_, err := e.Release(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	e.connect(t, "v", "a")
	_, err = e.Release(t.Context(), "v")
	require.ErrorIs(t, err, nephos.ErrConflict, "in use")
	e.disconnect(t, "v", "a")
	if e.Can(volume.AbilitySnapshotter) {
		require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s"))
		_, err = e.Release(t.Context(), "v")
		require.ErrorIs(t, err, nephos.ErrConflict, "it has a snapshot")
		require.NoError(t, e.DeleteSnapshot(t.Context(), "v", "s"))
	}
	ref, err := e.Release(t.Context(), "v")
	require.NoError(t, err)
	e.requireNone(t, "v")
	lies := find(ref)
	require.Equal(t, ref, lies.Reference)
	require.Empty(t, lies.VolumeID)
	require.Empty(t, lies.Reason)
	require.LessOrEqual(t, lies.SizeBytes, int64(1)<<30)
	e.reopen(t)
	e.requireNone(t, "v")

	for range 2 {
		v, err := e.Adopt(t.Context(), "n", ref)
		require.NoError(t, err)
		require.Equal(t, 1, v.SizeGiB)
		e.requireContent(t, "n", 1, content)
		e.reopen(t)
	}
	_, err = e.Adopt(t.Context(), "other", ref)
	require.Error(t, err, "it is a volume already")
	require.True(t, errors.Is(err, nephos.ErrConflict) || errors.Is(err, nephos.ErrNotFound), "%v", err)
	_, err = e.Adopt(t.Context(), "other", "no-such-reference")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	for _, evil := range []string{"../../etc/passwd", "/etc/passwd", "a/../../b", ""} {
		_, err = e.Adopt(t.Context(), "other", evil)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", evil)
	}
	e.requireNone(t, "other")
	all, err := e.ListAdoptable(t.Context())
	require.NoError(t, err)
	for _, a := range all {
		if a.VolumeID == "n" {
			require.NotEmpty(t, a.Reason)
		}
	}
	require.NoError(t, e.Delete(t.Context(), "n"), "what was adopted is deleted as any volume")
	e.requireNone(t, "n")
	require.Empty(t, find(ref).Reference, "its bytes are gone too")
}
