//! Tests of tortie against a real kernel, in network namespaces.
