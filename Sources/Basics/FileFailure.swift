/// A file that cannot be read, written or used. What kind of file it is stands in the problem.
public struct FileFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file, as the user named it.
  public let path: String
  /// What is wrong, and what is allowed.
  public let problem: String

  /// Creates the error.
  public init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  /// One line: the file, what is wrong.
  public var description: String { "\(shown(path, limit: 400)): \(visible(problem))" }
}
