// Package keystone speaks the Identity API v3, as its reference describes it at
// version 3.14, over the interfaces of package identity.
//
// [New] returns the API as a handler to be mounted at the identity endpoint's
// root: "/" lists the versions, all else is below "/v3". Built are tokens and
// the three steps of logging in, domains, projects and their tags, users,
// groups, roles and their implications, assignments (inherited ones too), the
// catalog, and application credentials. Federation, trusts, OAuth, EC2
// credentials and limits are not: their paths answer 404, and nothing
// advertises them.
package keystone
