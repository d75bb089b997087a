# SPDX-License-Identifier: Apache-2.0
# Manual pages and shell completions: written by the commands' own tables of options (tools/pages), with what docs/man adds.
set(pages_DIR ${PROJECT_BINARY_DIR}/pages)
set(pages_COMMANDS ${cli_SOURCES})
list(FILTER pages_COMMANDS EXCLUDE REGEX "/(main|parse)\\.c$")
file(GLOB pages_SOURCES CONFIGURE_DEPENDS tools/pages/*.c)
file(GLOB pages_NOTES CONFIGURE_DEPENDS docs/man/*.1)
string(TIMESTAMP pages_DATE "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH's, where it is set
file(MAKE_DIRECTORY ${pages_DIR})

add_executable(espalier_pages ${pages_SOURCES} ${pages_COMMANDS})
target_include_directories(espalier_pages PRIVATE cli)
target_link_libraries(espalier_pages PRIVATE espi_all)
add_custom_command(OUTPUT ${pages_DIR}/espalier.bash ${pages_DIR}/_espalier ${pages_DIR}/espalier.fish
  COMMAND espalier_pages ${PROJECT_SOURCE_DIR}/docs/man ${pages_DIR} ${pages_DATE} DEPENDS espalier_pages ${pages_NOTES} VERBATIM)
add_custom_target(pages ALL DEPENDS ${pages_DIR}/espalier.bash)
