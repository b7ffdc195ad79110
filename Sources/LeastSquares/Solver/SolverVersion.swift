/// The version of the solver beneath the fits.
public enum SolverVersion {
  /// GSL's version, such as `2.7.1`.
  public static let gsl = NonlinearSolver.libraryVersion
}
