# SPDX-License-Identifier: Apache-2.0
# install: the libraries, shared and static, headers, CMake package, pkg-config files, command, manual pages, completions, recipes.
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)

# A library of the package with its header; `targets` names its file of CMake targets, which is its component's.
function(espi_install name targets)
  install(TARGETS ${name} ${name}_static EXPORT ${targets}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES include/${name}.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT ${targets} NAMESPACE espalier:: DESTINATION ${package})
  get_target_property(file ${name} OUTPUT_NAME)
  configure_file(cmake/${file}.pc.in ${PROJECT_BINARY_DIR}/${file}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${file}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The package may be moved: paths start from the place of the pkg-config file.
file(RELATIVE_PATH espalier_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
espi_install(espalier espalier-targets)
if(TARGET espalier_create)
  espi_install(espalier_create espalier-create-targets)
endif()

configure_package_config_file(cmake/espalier-config.cmake.in ${PROJECT_BINARY_DIR}/espalier-config.cmake
  INSTALL_DESTINATION ${package})
set(compatible SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatible SameMinorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/espalier-config-version.cmake COMPATIBILITY ${compatible})
install(FILES ${PROJECT_BINARY_DIR}/espalier-config.cmake ${PROJECT_BINARY_DIR}/espalier-config-version.cmake
  DESTINATION ${package})

if(ESPALIER_BUILD_CLI)
  install(TARGETS espalier_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY ${pages_DIR}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${pages_DIR}/espalier.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME espalier)
  install(FILES ${pages_DIR}/_espalier DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${pages_DIR}/espalier.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(DIRECTORY recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/espalier/recipes FILES_MATCHING PATTERN *.json)
endif()
