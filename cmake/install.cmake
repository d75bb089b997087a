# SPDX-License-Identifier: Apache-2.0
# install: the library, shared and static, header, CMake package, pkg-config file, command, recipes.
include(CMakePackageConfigHelpers)

install(TARGETS espalier espalier_static EXPORT espalier-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/espalier.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS espalier_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT espalier-targets NAMESPACE espalier:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)

configure_package_config_file(cmake/espalier-config.cmake.in ${CMAKE_BINARY_DIR}/espalier-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)
set(compatible SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatible SameMinorVersion)
endif()
write_basic_package_version_file(${CMAKE_BINARY_DIR}/espalier-config-version.cmake COMPATIBILITY ${compatible})
install(FILES ${CMAKE_BINARY_DIR}/espalier-config.cmake ${CMAKE_BINARY_DIR}/espalier-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)

# The package may be moved: paths start from the place of the file.
file(RELATIVE_PATH espalier_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/espalier.pc.in ${CMAKE_BINARY_DIR}/espalier.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/espalier.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/espalier/recipes FILES_MATCHING PATTERN *.json)
