import Basics

/// A file that cannot be read or written as a NumPy array.
public typealias NpyError = FileFailure
