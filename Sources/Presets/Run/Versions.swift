import LeastSquares

/// Versions of programs and libraries that results depend on.
public enum Versions {
  /// Name and version of each; what is missing is left out.
  public static func all() async -> [(String, String)] {
    var versions = [("attnlab", LabVersion.current), ("swift", LabVersion.swift), ("gsl", SolverVersion.gsl)]
    if let gnuplot = await Tool.gnuplotVersion() { versions.append(("gnuplot", gnuplot)) }
    return versions
  }
}
